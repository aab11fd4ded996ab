/** A message of Python's: the length of its JSON, the JSON, 32-bit floats. */
function read(message) {
  const size = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const data = JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + size)));
  data.values = new Float32Array(message.slice(4 + size).buffer);
  return data;
}
