"""Every bar ever kept, and which stood when."""
