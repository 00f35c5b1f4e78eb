"""The Python side of a sandbox: loads one function and answers calls over one inherited socket, or builds one bundle."""
