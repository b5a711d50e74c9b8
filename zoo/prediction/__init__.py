"""Any model on images: what it says of each."""
