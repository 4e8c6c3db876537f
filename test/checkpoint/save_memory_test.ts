import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {OwLoreOptimizer, saveCheckpoint} from '../../src/index';
import {defaultBackend, fastBackend} from '../support/backends';

const MB = 2 ** 20;

/** Bytes of arrays that are in use. */
function arrayBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect(); // arrays are freed beside the program, before the next one begins
  return process.memoryUsage().arrayBuffers;
}

describe('memory in which a checkpoint is saved', () => {
  before(() => tf.setBackend(fastBackend));
  after(() => tf.setBackend(defaultBackend));

  it('has a file of it once, and all of them one after the other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'save-memory-'));
    const model = tfl.sequential({
      layers: [1, 2, 3].map(() => tfl.layers.dense({units: 2048, inputShape: [2048]})),
    });
    const optimizer = new OwLoreOptimizer({learningRate: 0.1});
    const {subtle} = globalThis.crypto;
    const places = new Set<ArrayBufferLike>();
    let most = 0;
    const before = arrayBytes();
    // where the bytes of each file are complete
    const digest = subtle.digest.bind(subtle);
    subtle.digest = (name, bytes) => {
      if (bytes.byteLength > MB) {
        most = Math.max(most, arrayBytes() - before);
        places.add((bytes as Uint8Array).buffer);
      }
      return digest(name, bytes);
    };
    try {
      await saveCheckpoint(folder, {model, optimizer});
    } finally {
      delete (subtle as Partial<SubtleCrypto>).digest;
      model.dispose();
      optimizer.dispose();
      rmSync(folder, {recursive: true});
    }
    // three files of 16 MB and a little
    expect(places.size).to.equal(1);
    expect(most).to.be.within(16 * MB, 24 * MB);
  });
});
