"""What Caffe's users train on: LMDBs of Datums, HDF5 lists, folders. Never loads torch."""
