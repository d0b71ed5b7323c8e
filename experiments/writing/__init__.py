"""What `experiments.sample` is made of: prompts, drawing live, searching, and a conversation."""
