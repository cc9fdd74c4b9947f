"""A DICOM node: images come in, results go back; nothing here is imported before it is asked for.

`node` receives, `spool` keeps, `scorer` scores study by study, `results` and its neighbours make the DICOM
objects, `sender` brings them to the PACS. All of it needs the extra ``dicom``.
"""
