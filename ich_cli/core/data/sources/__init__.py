"""Data sources: layouts of labelled CT, opened by name (`registry`).

dicom_tables   rsna, dlmi, folder, unlabelled      nifti_masks   bhsd, mbh, instance, seg-cq500,
ct_ich         ct-ich                                            hemseg, nifti
cq500, bhx     cq500, bhx                          headct200     headct200
phantoms       phantom
"""
