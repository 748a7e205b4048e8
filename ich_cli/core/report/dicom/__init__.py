"""Write predictions as DICOM objects: structured reports and secondary captures."""
