import {expect} from 'chai';
import {estimateMemory, type EstimateOptions} from '../../../src/memory/estimate';

/** `config.json` of meta-llama/Llama-2-7b-hf. */
const llama2of7B = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};

type Figure = [title: string, gigabytes: number, options: EstimateOptions];

/** Table 4 of the OwLore paper (arXiv 2405.18380). */
const table4: Figure[] = [
  ['Full FT', 61, {method: 'full'}],
  ['LoRA, r 8', 26, {method: 'lora', rank: 8}],
  ['GaLore, r 8', 36, {method: 'galore', rank: 8}],
  ['LISA, γ 2', 24, {method: 'lisa', gamma: 2}],
  ['OwLore (Full-Rank), γ 2', 24, {method: 'owlore-full', gamma: 2}],
  ['OwLore, γ 5, r 128', 23, {method: 'owlore', gamma: 5, rank: 128}],
];

/** Table 2: by γ. */
const gammas = [1, 2, 4, 8, 12];
const table2: Figure[] = [
  ...rowsOfTable2('lisa', [23, 25, 27, 32, 36]),
  ...rowsOfTable2('owlore', [21, 22, 23, 25, 27]),
];

function rowsOfTable2(method: 'lisa' | 'owlore', figures: number[]): Figure[] {
  return figures.map((figure, i) => [
    `${method}, γ ${gammas[i]}`,
    figure,
    {method, gamma: gammas[i]!},
  ]);
}

describe("estimateMemory with engine 'torch', LLaMA2-7B in bfloat16", () => {
  for (const [name, table] of Object.entries({'Table 4': table4, 'Table 2': table2})) {
    for (const [title, gigabytes, options] of table) {
      it(`is within 10 % of ${name}: ${title}, ${gigabytes} GB`, () => {
        const {total} = estimateMemory(llama2of7B, {...options, engine: 'torch'});
        expect(total / 1e9).to.be.closeTo(gigabytes, 0.1 * gigabytes);
      });
    }
  }

  it('has what follows from the shapes alone', () => {
    const parameters = 6_738_415_616;
    const full = estimateMemory(llama2of7B, {method: 'full', engine: 'torch'});
    expect(full.weights).to.equal(2 * parameters);
    expect(full.gradients).to.equal(2 * parameters);
    expect(full.state).to.equal(4 * parameters);
    const lisa = (gamma: number): number =>
      estimateMemory(llama2of7B, {method: 'lisa', gamma, engine: 'torch'}).total;
    // of one more block the gradients and two moments, two bytes each
    expect(lisa(5) - lisa(4)).to.equal(6 * 202_383_360);
    const {total} = estimateMemory(llama2of7B, {method: 'full', engine: 'torch', dtype: 'F32'});
    expect(total).to.equal(2 * full.total);
  });
});
