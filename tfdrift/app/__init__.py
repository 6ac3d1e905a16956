"""A page on this machine for those who type no commands: cohort, training, patient. Needs the extra `serve`.

Long work runs as a `tfdrift` command of its own, whose output tells how far it is. `page/` holds what the browser
loads: plain HTML, CSS and modules, and the viewer NiiVue.

server          listens until Ctrl-C
access          who may ask
calls           every call by name, and the web application
patient_calls   calls about a patient
training_calls  calls about training
cohort_calls    calls about a cohort
commands        what is asked, as a command line
desk            what a server has at hand
jobs            commands as processes: output, progress, stop
folders         the part of the disk that the page may see
models          models that can be asked
runs            curves and scores of runs
cohorts         cards of lesions, and the table of wrong pairs
volumes         a patient's MRI and contours for the viewer
pairs           both MRIs of a lesion for the viewer
"""
