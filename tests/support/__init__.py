"""What tests share: real processes, a client that behaves as a browser does, sample applications."""
