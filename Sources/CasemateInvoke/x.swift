// CasemateInvoke
