"""One module per signature: from a request to the function's arguments, from its result to a response."""
