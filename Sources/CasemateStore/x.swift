// CasemateStore
