"""How sure one may be of a score, and of an interval: statistics on arrays, with the patient as unit.

intervals   bootstrap over patients, and its words
comparison  two methods on the same patients
conformal   margins that keep the promise of an interval
adaptive    margins in proportion to a learned scale, which keep it too
"""
