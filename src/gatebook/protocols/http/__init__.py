"""HTTP/1.1 and HTTP/2: requests decided one by one, answers covered as they stream."""
