// CasemateVault
