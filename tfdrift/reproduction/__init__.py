"""The paper's figures and our tables, by name.

experiment          what an experiment is
paper_experiments   the paper's figures
table_experiments   our tables
new_patients_experiments  recipes, laws and training patients, on patients drawn anew
experiments         all of them by name
cached_runs         training runs that experiments share
class_scores        what is drawn for each class of response, on patients drawn anew
lesion_scores       slices, their neighbours and whole lesions, beside the time of training
course_scores       volumes foreseen on several days, on patients drawn anew
dose_scores         volumes at other doses against what the law would have done, on patients drawn anew
third_visit_scores  a visit foreseen from two visits and from one, on patients drawn anew
predictions         what a run says of patients it has not seen
paper_scores        the numbers behind a figure
new_patients_scores  the same of patients drawn anew, beside one who knows the law
regions             core and rim, and whether two groups differ in them
group_maps          mean drift from the middle of lesions to around them, by group
paper_figures       grids of images
paper_diagram       the two methods as a flow
paper_curves        charts
drawings            how each kind of experiment is drawn
reproduce           runs experiments and writes their files
"""
