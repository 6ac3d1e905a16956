"""Experiments on patients of the phantom that are drawn anew, and the numbers and pictures behind each kind.

experiments         recipes, laws, training patients and conditions
recipe_scores       recipes beside one who knows the law
class_scores        what is drawn for each class of response
course_scores       volumes foreseen on several days
dose_scores         volumes at other doses against what the law would have done
lesion_scores       slices, their neighbours and whole lesions, beside the time of training
third_visit_scores  a visit foreseen from two visits and from one
"""
