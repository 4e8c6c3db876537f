import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createLlama} from '../../../src/llama';
import {blockInfluenceScores} from '../../../src/owlore/scores/block_influence';
import {outlierScores} from '../../../src/owlore/scores/outlier';
import {upTo} from '../../../src/tfjs/models';

/* A scoring pass ends with the last block: a language model's head would make its largest tensor by far. */

const config = {
  ...{vocabSize: 50, hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 2, numAttentionHeads: 1},
};

describe('scores of a language model', () => {
  for (const tieWordEmbeddings of [true, false]) {
    it(`ask for no logits, weights tied: ${tieWordEmbeddings}`, async () => {
      const model = createLlama({...config, tieWordEmbeddings});
      const ids = tf.ones([2, 5], 'int32');
      const called: string[] = [];
      for (const layer of model.layers) {
        const call = layer.call.bind(layer);
        layer.call = (...args) => {
          called.push(layer.name);
          return call(...args);
        };
      }
      const before = tf.memory().numTensors;
      await outlierScores(model, [ids]);
      await blockInfluenceScores(model, [ids]);
      const pass = ['model.embed_tokens', 'model.layers.0', 'model.layers.1'];
      expect(called).to.deep.equal([...pass, ...pass]);
      expect(tf.memory().numTensors).to.equal(before);
      ids.dispose();
      model.dispose();
      // No layer is left alive by the model that ended earlier.
      expect(tf.memory().numTensors).to.equal(before - 1 - weightsOf(tieWordEmbeddings));
    });
  }

  it('run the whole model where its blocks are no chain', () => {
    const input = tfl.input({shape: [3]});
    const [a, b] = [0, 1].map(() => tfl.layers.dense({units: 3}));
    const add = tfl.layers.add().apply([a!.apply(input), b!.apply(input)] as tfl.SymbolicTensor[]);
    const model = tfl.model({inputs: input, outputs: add as tfl.SymbolicTensor});
    expect(upTo(model, [a!, b!])).to.equal(model);
    expect(upTo(model, [tfl.layers.dense({units: 3})])).to.equal(model);
    expect(upTo(model, [])).to.equal(model);
    model.dispose();
  });
});

function weightsOf(isTied: boolean): number {
  const perBlock = 9;
  return 2 * perBlock + (isTied ? 2 : 3);
}
