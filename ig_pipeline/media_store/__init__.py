"""Where media files go: download, check, name and keep them, in a local folder or in object storage.

Knows no database and no Graph API; which files to fetch is decided in `sync/media_files`.
"""
