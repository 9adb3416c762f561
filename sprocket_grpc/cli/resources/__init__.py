"""The commands `get`, `list`, `create`, `update`, `delete`, `import` and `export`, for every resource of the contract.

They are derived from the descriptors, so that new resources and fields of the contract need no change here.
"""
