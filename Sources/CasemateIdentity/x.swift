// CasemateIdentity
