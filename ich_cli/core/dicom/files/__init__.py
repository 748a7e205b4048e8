"""Find files, recognise their type, and open them: plain files, zip members, deflated data sets.

Sizes, ratios and times are bounded, and whatever is wrong becomes an `InputError`.
"""
