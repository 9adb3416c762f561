"""The commands `get`, `list`, `create`, `update`, `delete`, `import` and `export`, for every resource of the contract.

They are driven by the descriptors: a resource or a field that is new in the contract is in them by itself.
"""
