"""What coded contexts cost a model's predictions, beside llama.cpp's own quantised caches."""
