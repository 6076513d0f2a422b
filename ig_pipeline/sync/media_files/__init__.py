"""Media files: which posts have files to fetch, fetching them side by side, and the index that follows.

The store's workings are `media_store`'s, the rows `storage.media_items`'; here the two are kept in step.
"""
