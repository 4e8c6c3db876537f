import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';

/** Small tensors that must not change when others are worked on; these find room between them. */
export class Sentinels {
  private readonly tensors: tf.Tensor[];

  constructor(count = 80) {
    const gaps: tf.Tensor[] = [];
    this.tensors = Array.from({length: count}, (_, i) => {
      gaps.push(tf.zeros([4 + ((i * 13) % 60)]));
      return tf.fill([1 + (i % 7)], i + 1);
    });
    tf.dispose(gaps);
  }

  async expectUntouched(what: string): Promise<void> {
    const all = await Promise.all(this.tensors.map((tensor) => tensor.data()));
    const changed = all.filter((values, i) => values.some((x) => x !== i + 1)).length;
    expect(changed, `tensors overwritten: ${what}`).to.equal(0);
  }

  dispose(): void {
    tf.dispose(this.tensors);
  }
}

/** What a backend holds: tensors, their bytes, and data that no tensor may own. */
export function held(): {tensors: number; bytes: number; data: number} {
  const {numTensors, numBytes} = tf.memory();
  // webgpu lets go of data when its queue has run.
  const data = tf.getBackend() === 'webgpu' ? 0 : tf.engine().backend.numDataIds();
  return {tensors: numTensors, bytes: numBytes, data};
}

/** Checks that a backend holds what it held `before`, once the reads that are under way have ended: 2 s at most. */
export async function expectHeld(before: ReturnType<typeof held>): Promise<void> {
  for (let wait = 0; wait < 100 && JSON.stringify(held()) !== JSON.stringify(before); wait++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(held()).to.deep.equal(before);
}
