"""The journey of one request: from the socket to the settled entry and back."""
