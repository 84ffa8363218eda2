"""HTTP in. The only code that sees a twisted.web request."""
