"""Real applications that read ``REMOTE_USER`` once, and trust a session of their own from then on."""
