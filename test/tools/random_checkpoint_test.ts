import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {parseSafetensors} from '../../src/files/safetensors';
import {createLlama, setLlamaWeights} from '../../src/llama';
import {
  smolLM2,
  writeRandomCheckpoint,
  type ConfigJson,
  type RandomCheckpointOptions,
} from '../../tools/random_checkpoint';

const config = {
  ...smolLM2,
  hidden_size: 36,
  intermediate_size: 51,
  num_hidden_layers: 2,
  vocab_size: 201,
};

describe('writeRandomCheckpoint', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'owlore-test-'));
  });
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  /** The bytes of the weights. */
  const write = (options: RandomCheckpointOptions = {}, json: ConfigJson = config): Buffer => {
    writeRandomCheckpoint(folder, json, options);
    return readFileSync(join(folder, 'model.safetensors'));
  };

  for (const tied of [true, false]) {
    it(`writes all weights of a model with ${tied ? 'tied' : 'untied'} weights`, () => {
      const json = {...config, tie_word_embeddings: tied};
      const {tensors} = parseSafetensors(write({}, json));
      const model = createLlama({
        vocabSize: 201,
        hiddenSize: 36,
        intermediateSize: 51,
        numHiddenLayers: 2,
        numAttentionHeads: 9,
        numKeyValueHeads: 3,
        tieWordEmbeddings: tied,
      });
      setLlamaWeights(model, tensors);
      expect(writeRandomCheckpoint(folder, json)).to.equal(model.countParams());
      model.dispose();
    });
  }

  it('draws matrices from a normal distribution of the deviation that the config says', () => {
    const {tensors} = parseSafetensors(write({dtype: 'F32'}));
    const {values} = tensors.get('model.embed_tokens.weight')!;
    const moment = (power: number): number =>
      values.reduce((sum, x) => sum + (x / smolLM2.initializer_range) ** power, 0) / values.length;
    // Within five standard errors of the moments of a normal distribution.
    const bound = (variance: number): number => 5 * Math.sqrt(variance / values.length);
    expect(moment(1)).to.be.closeTo(0, bound(1));
    expect(moment(2)).to.be.closeTo(1, bound(2));
    expect(moment(4)).to.be.closeTo(3, bound(96));
    expect(tensors.get('model.norm.weight')!.values).to.deep.equal(new Float32Array(36).fill(1));
  });

  it('writes the type that it is asked for, and says so in config.json', () => {
    const [wide, narrow] = [write({dtype: 'F32'}), write({dtype: 'BF16'})].map(
      (bytes) => parseSafetensors(bytes).tensors.get('model.embed_tokens.weight')!.values,
    );
    const {torch_dtype: dtype} = JSON.parse(
      readFileSync(join(folder, 'config.json'), 'utf8'),
    ) as Record<string, unknown>;
    expect(dtype).to.equal('bfloat16');
    narrow!.forEach((x, i) => {
      expect(x).to.be.closeTo(wide![i]!, Math.abs(wide![i]!) * 2 ** -8);
    });
  });

  it('writes the same bytes for the same seed, others for another', () => {
    const [first, again, other] = [{seed: 1}, {seed: 1}, {seed: 2}].map((options) =>
      write(options),
    );
    expect(first!.equals(again!)).to.equal(true);
    expect(first!.equals(other!)).to.equal(false);
  });

  it('has the parameters of SmolLM2-135M', () => {
    // One block and a small vocabulary, with what they lack added: the whole one takes its time.
    const json = {...smolLM2, num_hidden_layers: 1, vocab_size: 48};
    const parameters = writeRandomCheckpoint(folder, json);
    expect(parameters + 29 * 3_540_096 + (49_152 - 48) * 576).to.equal(134_515_008);
  });
});
