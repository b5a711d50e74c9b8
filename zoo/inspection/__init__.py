"""What is in a file of Caffe's or ONNX's: layers, shapes, parameters, multiply-adds, memory."""
