"""What is read: where text comes from (`sources`) and how it becomes arrays (`text`)."""
