// CasemateDeploy
