"""What a trained character model uses: units against labels of the text, context, its carry."""
