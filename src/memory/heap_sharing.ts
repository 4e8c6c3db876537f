import * as tf from '@tensorflow/tfjs-core';

/**
 * On the wasm backend a weight that was changed in place has a new data id, over the memory of the old one. This tells which buffer
 * is in the memory of a tensor.
 */
export class HeapSharing<Buffer extends object> {
  private readonly byAddress = new Map<number, Buffer>();
  private readonly addresses = new Map<Buffer, number>();

  /** The buffer that has the memory of a tensor; undefined if there is none, and on other backends. */
  bufferOf(tensor: tf.Tensor): Buffer | undefined {
    const address = addressOf(tensor);
    return address === undefined ? undefined : this.byAddress.get(address);
  }

  add(tensor: tf.Tensor, buffer: Buffer): void {
    const address = addressOf(tensor);
    if (address === undefined) return;
    this.byAddress.set(address, buffer);
    this.addresses.set(buffer, address);
  }

  /** The memory of a buffer is free. */
  remove(buffer: Buffer): void {
    const address = this.addresses.get(buffer);
    this.addresses.delete(buffer);
    if (address !== undefined) this.byAddress.delete(address);
  }
}

/** Where the numbers of a tensor are in the memory of a wasm backend that is the present one. */
function addressOf({dataId, size}: tf.Tensor): number | undefined {
  if (tf.getBackend() !== 'wasm' || size === 0) return undefined;
  const {dataIdMap} = tf.backend() as {dataIdMap?: tf.DataStorage<{memoryOffset: number | null}>};
  if (!dataIdMap?.has(dataId)) return undefined;
  return dataIdMap.get(dataId).memoryOffset ?? undefined;
}
