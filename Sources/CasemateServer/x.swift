// CasemateServer
