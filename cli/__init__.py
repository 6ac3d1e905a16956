"""The `tfdrift` command: one thin click module a command group; installed as `tfdrift_cli`.

main           the command itself, and its errors in one line
cohort         scan, mask, phantom, show
cohort_import  import
train          one method into a run folder
evaluate       a run on its held-out patients
crossval       every patient held out once
reproduce      figures and tables by name
export         a run to a served model
workers        of a Dask cluster, on this machine
serve          models over gRPC and REST
predict        a patient
app            a page on this machine
quiet          TensorFlow without its greetings
reference      docs/cli.md, made of the help of every command
"""
