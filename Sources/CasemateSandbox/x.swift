// CasemateSandbox
