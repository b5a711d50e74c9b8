"""Models in fewer bits: half precision or int8, with the switches exact, and what that costs."""
