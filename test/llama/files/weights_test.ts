import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createLlama, getLlamaWeights, setLlamaWeights, type HostTensor} from '../../../src/llama';
import {describeBackends} from '../../support/backends';
import {readCheckpoint, readConfig} from '../checkpoints';

describeBackends('weights of a LLaMA model', () => {
  let model: tfl.LayersModel;
  let tensors: Map<string, HostTensor>;

  beforeEach(() => {
    model = createLlama(readConfig('llama2'));
    tensors = readCheckpoint('llama2');
  });
  afterEach(() => {
    model.dispose();
  });

  it('come back as they were set', async () => {
    setLlamaWeights(model, tensors);
    const read = await getLlamaWeights(model);
    expect([...read.keys()].sort()).to.deep.equal([...tensors.keys()].sort());
    for (const [name, tensor] of tensors) expect(read.get(name)).to.deep.equal(tensor);
  });

  it('do not change with the arrays that were given or came back', async () => {
    const name = 'model.norm.weight';
    const before = Float32Array.from(tensors.get(name)!.values);
    setLlamaWeights(model, tensors);
    tensors.get(name)!.values.fill(5);
    const read = await getLlamaWeights(model);
    expect(read.get(name)!.values).to.deep.equal(before);
    for (const {values} of read.values()) values.fill(0);
    expect((await getLlamaWeights(model)).get(name)!.values).to.deep.equal(before);
  });

  it('have no names that depend on what was made before', async () => {
    const second = createLlama(readConfig('llama2'));
    expect([...(await getLlamaWeights(second)).keys()]).to.have.members([...tensors.keys()]);
    second.dispose();
  });

  const wrong: Array<[string, (tensors: Map<string, HostTensor>) => void, string]> = [
    [
      'a missing one',
      (map) => map.delete('model.norm.weight'),
      'setLlamaWeights: missing model.norm.weight',
    ],
    [
      'an unknown one',
      (map) => map.set('extra.weight', {shape: [1], values: new Float32Array(1)}),
      'setLlamaWeights: the model has no extra.weight',
    ],
    [
      'one of another shape',
      (map) => map.set('lm_head.weight', {shape: [32, 96], values: new Float32Array(32 * 96)}),
      'setLlamaWeights: lm_head.weight must have shape [96, 32]; got [32, 96]',
    ],
    [
      'one with too few values',
      (map) => map.set('lm_head.weight', {shape: [96, 32], values: new Float32Array(96)}),
      'setLlamaWeights: lm_head.weight of shape [96, 32] must have 3072 values; got 96',
    ],
  ];
  for (const [what, change, message] of wrong) {
    it(`refuses ${what} and sets none`, async () => {
      const before = await getLlamaWeights(model);
      change(tensors);
      expect(() => setLlamaWeights(model, tensors)).to.throw(message);
      expect(await getLlamaWeights(model)).to.deep.equal(before);
    });
  }

  it('refuses what are no tensors by name', () => {
    const values = new Float32Array(1);
    const set = (given: unknown) => () => {
      setLlamaWeights(model, given as never);
    };
    for (const given of [undefined, {x: {shape: [1], values}}, [['x', {shape: [1], values}]]])
      expect(set(given)).to.throw(
        /^setLlamaWeights: tensors must be a Map of \{shape, values\}; got /,
      );
    for (const tensor of [null, undefined, values, {values}, {shape: [1]}, {shape: 1, values}])
      expect(set(new Map([['x', tensor]]))).to.throw(
        /^setLlamaWeights: the tensor 'x' must be \{shape, values\}; got /,
      );
    expect(set(new Map([[1, {shape: [1], values}]]))).to.throw(/the tensor 1 must be/);
    // of other arrays the first weights would be set before tfjs refuses one
    for (const other of ['a', ['1'], new Int32Array(1), new BigInt64Array(1)])
      expect(set(new Map([['x', {shape: [1], values: other}]]))).to.throw(/the tensor 'x' must be/);
  });
});
