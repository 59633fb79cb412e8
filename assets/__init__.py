"""The graph: which tables exist, what each is made from, and what is checked.

Every asset is thin: it reads tables, calls one function of a room, writes, and returns metadata. A loop over data,
a condition on data or a formula belongs to the room. The asset key is the table's place in the lake.
"""
