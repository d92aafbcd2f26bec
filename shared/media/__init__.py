"""Pictures that staff send, and what is made of them."""
