import {expect} from 'chai';
import {architectureNames, architectures} from '../../../src/llama/architectures';
import {readConfigJson} from '../../../src/llama/files/config_json';
import {quoted} from '../../support/quoted';
import {readConfig, referenceNames} from '../checkpoints';
import {jsonOf, readFiles, type FixtureName} from './checkpoint_files';

type Json = Record<string, unknown>;

const read = (json: Json) => readConfigJson('test', json);
/** A checkpoint's `config.json` with other keys; undefined takes one away. */
const changed = (name: FixtureName, keys: Json, transformers: 4 | 5 = 5): Json =>
  JSON.parse(
    JSON.stringify({...jsonOf(readFiles(name, transformers), 'config.json'), ...keys}),
  ) as Json;

describe('config.json', () => {
  for (const name of referenceNames) {
    it(`of ${name} says the same in the words of transformers 4 and 5`, () => {
      const [five, four] = ([5, 4] as const).map((version) => read(changed(name, {}, version)));
      expect(four).to.deep.equal(five);
      expect(five).to.deep.include(readConfig(name));
      expect(five).to.include({initializerRange: 0.08, headInLoss: false, seed: null});
    });

    it(`of ${name} says the same in both words at once`, () => {
      const both = {...changed(name, {}, 4), ...changed(name, {}, 5)};
      expect(read(both)).to.deep.equal(read(changed(name, {})));
    });
  }

  it('has the defaults of transformers', () => {
    const absent = {
      num_key_value_heads: undefined,
      head_dim: undefined,
      rms_norm_eps: undefined,
      rope_parameters: undefined,
      max_position_embeddings: undefined,
      tie_word_embeddings: undefined,
      initializer_range: undefined,
      hidden_act: undefined,
      architectures: undefined,
      attention_bias: undefined,
    };
    const common = {
      headDim: 8,
      rmsNormEps: 1e-6,
      ropeTheta: 10000,
      ropeScaling: null,
      tieWordEmbeddings: false,
      initializerRange: 0.02,
    };
    expect(read(changed('llama2', absent))).to.deep.include({
      ...common,
      numKeyValueHeads: 4,
      maxPositionEmbeddings: 2048,
      slidingWindow: null,
    });
    const wide = {num_attention_heads: 32, hidden_size: 256};
    expect(
      read(changed('mistral', {...absent, ...wide, sliding_window: undefined})),
    ).to.deep.include({
      ...common,
      numKeyValueHeads: 8,
      maxPositionEmbeddings: 131072,
      slidingWindow: 4096,
    });
    expect(read(changed('qwen2', {...absent, ...wide}))).to.deep.include({
      ...common,
      numKeyValueHeads: 32,
      maxPositionEmbeddings: 32768,
      slidingWindow: null,
    });
    expect(read(changed('qwen3', {...absent, ...wide}))).to.deep.include({
      ...common,
      headDim: 128,
      numKeyValueHeads: 32,
      maxPositionEmbeddings: 32768,
      slidingWindow: null,
    });
    const gemmaKeys = {
      sliding_window: undefined,
      layer_types: undefined,
      query_pre_attn_scalar: undefined,
    };
    const [full, sliding] = ['full_attention', 'sliding_attention'];
    expect(
      read(changed('gemma3', {...absent, ...wide, ...gemmaKeys, num_hidden_layers: 7})),
    ).to.deep.include({
      ...common,
      headDim: 256,
      numKeyValueHeads: 4,
      maxPositionEmbeddings: 131072,
      slidingWindow: 4096,
      layerTypes: [sliding, sliding, sliding, sliding, sliding, full, sliding],
      ropeTheta: 1000000,
      ropeLocalBaseFreq: 10000,
      queryPreAttnScalar: 256,
      tieWordEmbeddings: true,
    });
    expect(read(changed('mistral', {num_key_value_heads: null})).numKeyValueHeads).to.equal(4);
  });

  const same: Array<[FixtureName, Json]> = [
    ['llama2', {hidden_act: 'swish', mlp_bias: null, quantization_config: null}],
    ['llama2', {partial_rotary_factor: 1, attention_dropout: 0, sliding_window: null}],
    ['llama2', {layer_types: ['full_attention', 'full_attention', 'full_attention']}],
    ['llama2', {architectures: ['LLaMAForCausalLM'], pretraining_tp: 2, something: {else: 1}}],
    ['llama2', {rope_parameters: {rope_type: 'default', partial_rotary_factor: 1, factor: null}}],
    ['llama2', {rope_parameters: {type: 'default', rope_theta: 10000}, rope_theta: 10000}],
    ['mistral', {layer_types: Array(3).fill('sliding_attention')}],
    ['qwen2', {attention_bias: true, use_sliding_window: true, sliding_window: null}],
    ['qwen2', {use_sliding_window: true, sliding_window: 4}],
    ['qwen2', {use_sliding_window: true, sliding_window: 4, layer_types: undefined}],
  ];
  for (const [name, keys] of same) {
    it(`of ${name} says the same with ${JSON.stringify(keys)}`, () => {
      expect(read(changed(name, keys))).to.deep.equal(read(changed(name, {})));
    });
  }

  const rope = {factor: 32, high_freq_factor: 4, low_freq_factor: 1};
  const published: Array<[string, Json, Json]> = [
    [
      'SmolLM2-135M',
      {
        architectures: ['LlamaForCausalLM'],
        attention_bias: false,
        attention_dropout: 0,
        bos_token_id: 0,
        eos_token_id: 0,
        hidden_act: 'silu',
        hidden_size: 576,
        initializer_range: 0.041666666666666664,
        intermediate_size: 1536,
        is_llama_config: true,
        max_position_embeddings: 8192,
        model_type: 'llama',
        num_attention_heads: 9,
        num_hidden_layers: 30,
        num_key_value_heads: 3,
        pretraining_tp: 1,
        rms_norm_eps: 1e-5,
        rope_interleaved: false,
        rope_scaling: null,
        rope_theta: 100000,
        tie_word_embeddings: true,
        torch_dtype: 'bfloat16',
        vocab_size: 49152,
      },
      {headDim: 64, ropeTheta: 100000, tieWordEmbeddings: true},
    ],
    [
      'Qwen2.5-0.5B',
      {
        architectures: ['Qwen2ForCausalLM'],
        attention_dropout: 0,
        bos_token_id: 151643,
        eos_token_id: 151643,
        hidden_act: 'silu',
        hidden_size: 896,
        initializer_range: 0.02,
        intermediate_size: 4864,
        max_position_embeddings: 32768,
        max_window_layers: 24,
        model_type: 'qwen2',
        num_attention_heads: 14,
        num_hidden_layers: 24,
        num_key_value_heads: 2,
        rms_norm_eps: 1e-6,
        rope_theta: 1000000,
        sliding_window: 32768,
        tie_word_embeddings: true,
        torch_dtype: 'bfloat16',
        use_mrope: false,
        use_sliding_window: false,
        vocab_size: 151936,
      },
      {attentionBias: true, slidingWindow: null, headDim: 64},
    ],
    [
      'Qwen3-0.6B',
      {
        architectures: ['Qwen3ForCausalLM'],
        attention_bias: false,
        attention_dropout: 0,
        bos_token_id: 151643,
        eos_token_id: 151645,
        head_dim: 128,
        hidden_act: 'silu',
        hidden_size: 1024,
        initializer_range: 0.02,
        intermediate_size: 3072,
        max_position_embeddings: 40960,
        max_window_layers: 28,
        model_type: 'qwen3',
        num_attention_heads: 16,
        num_hidden_layers: 28,
        num_key_value_heads: 8,
        rms_norm_eps: 1e-6,
        rope_scaling: null,
        rope_theta: 1000000,
        sliding_window: null,
        tie_word_embeddings: true,
        torch_dtype: 'bfloat16',
        use_sliding_window: false,
        vocab_size: 151936,
      },
      {
        ...{architecture: 'qwen3', headDim: 128, numKeyValueHeads: 8, ropeTheta: 1000000},
        ...{attentionBias: false, slidingWindow: null, tieWordEmbeddings: true},
      },
    ],
    [
      'gemma-3-1b-it',
      {
        architectures: ['Gemma3ForCausalLM'],
        attention_bias: false,
        attention_dropout: 0,
        attn_logit_softcapping: null,
        bos_token_id: 2,
        cache_implementation: 'hybrid',
        eos_token_id: [1, 106],
        final_logit_softcapping: null,
        head_dim: 256,
        hidden_activation: 'gelu_pytorch_tanh',
        hidden_size: 1152,
        initializer_range: 0.02,
        intermediate_size: 6912,
        max_position_embeddings: 32768,
        model_type: 'gemma3_text',
        num_attention_heads: 4,
        num_hidden_layers: 26,
        num_key_value_heads: 1,
        pad_token_id: 0,
        query_pre_attn_scalar: 256,
        rms_norm_eps: 1e-6,
        rope_local_base_freq: 10000,
        rope_scaling: null,
        rope_theta: 1000000,
        sliding_window: 512,
        sliding_window_pattern: 6,
        torch_dtype: 'bfloat16',
        vocab_size: 262144,
      },
      {
        ...{architecture: 'gemma3', headDim: 256, numKeyValueHeads: 1, tieWordEmbeddings: true},
        ...{slidingWindow: 512, ropeTheta: 1000000, ropeLocalBaseFreq: 10000},
        layerTypes: Array.from({length: 26}, (_, i) =>
          (i + 1) % 6 === 0 ? 'full_attention' : 'sliding_attention',
        ),
      },
    ],
    [
      'Llama-3.2-1B',
      {
        architectures: ['LlamaForCausalLM'],
        attention_bias: false,
        attention_dropout: 0,
        bos_token_id: 128000,
        eos_token_id: [128001, 128008, 128009],
        head_dim: 64,
        hidden_act: 'silu',
        hidden_size: 2048,
        initializer_range: 0.02,
        intermediate_size: 8192,
        max_position_embeddings: 131072,
        mlp_bias: false,
        model_type: 'llama',
        num_attention_heads: 32,
        num_hidden_layers: 16,
        num_key_value_heads: 8,
        pretraining_tp: 1,
        rms_norm_eps: 1e-5,
        rope_scaling: {...rope, original_max_position_embeddings: 8192, rope_type: 'llama3'},
        rope_theta: 500000,
        tie_word_embeddings: true,
        torch_dtype: 'bfloat16',
        vocab_size: 128256,
      },
      {
        ropeTheta: 500000,
        ropeScaling: {
          factor: 32,
          lowFreqFactor: 1,
          highFreqFactor: 4,
          originalMaxPositionEmbeddings: 8192,
        },
      },
    ],
  ];
  for (const [name, json, expected] of published) {
    it(`of ${name} is understood`, () => {
      expect(read(json)).to.deep.include(expected);
    });
  }

  it('gives a Qwen2 model its window, in all layers', () => {
    const window = {use_sliding_window: true, sliding_window: 4};
    for (const keys of [
      {layer_types: Array(3).fill('sliding_attention')},
      {layer_types: undefined, max_window_layers: 0},
    ]) {
      expect(read(changed('qwen2', {...window, ...keys})).slidingWindow).to.equal(4);
    }
  });

  it('gives a Qwen2 model its window, in some layers', () => {
    const window = {use_sliding_window: true, sliding_window: 4};
    const [full, sliding] = ['full_attention', 'sliding_attention'];
    expect(
      read(changed('qwen2', {...window, layer_types: undefined, max_window_layers: 1})),
    ).to.deep.include({slidingWindow: 4, layerTypes: [full, sliding, sliding]});
    expect(
      read(changed('qwen2', {...window, layer_types: [sliding, full, sliding]})),
    ).to.deep.include({slidingWindow: 4, layerTypes: [sliding, full, sliding]});
  });

  it('refuses more layers than any model has, with or without a rule for their types', () => {
    const window = {use_sliding_window: true, sliding_window: 4, max_window_layers: 1};
    for (const keys of [{}, {...window, layer_types: undefined}]) {
      expect(() => read(changed('qwen2', {...keys, num_hidden_layers: 2 ** 52}))).to.throw(
        'test: num_hidden_layers must be an integer >= 1 and <= 256; got 4503599627370496',
      );
    }
  });

  it('takes the longest text for the one of the pre-training, where it says nothing else', () => {
    const {rope_parameters} = changed('llama3', {}) as {rope_parameters: Json};
    const {original_max_position_embeddings: _, ...rope} = rope_parameters;
    const config = (keys: Json) =>
      read(changed('llama3', {rope_parameters: rope, ...keys})).ropeScaling
        ?.originalMaxPositionEmbeddings;
    expect(config({})).to.equal(128);
    expect(config({original_max_position_embeddings: 64})).to.equal(64);
  });

  const llama3Rope = {rope_type: 'llama3', factor: 2, low_freq_factor: 1, high_freq_factor: 4};
  const unsupported: Array<[FixtureName, Json, string]> = [
    ['llama2', {hidden_act: 'gelu'}, 'hidden_act "gelu"'],
    ['llama2', {mlp_bias: true}, 'mlp_bias true'],
    ['llama2', {attention_bias: true}, 'attention_bias true'],
    ['mistral', {attention_bias: true}, 'attention_bias true'],
    ['qwen3', {attention_bias: true}, 'attention_bias true'],
    ['gemma3', {attention_bias: true}, 'attention_bias true'],
    ['gemma3', {hidden_activation: 'silu'}, 'hidden_activation "silu"'],
    ['gemma3', {attn_logit_softcapping: 50}, 'attn_logit_softcapping 50'],
    ['gemma3', {final_logit_softcapping: 30}, 'final_logit_softcapping 30'],
    ['gemma3', {use_bidirectional_attention: true}, 'use_bidirectional_attention true'],
    ['gemma3', {rope_parameters: {rope_theta: 7}}, 'rope_parameters.rope_theta 7'],
    [
      'gemma3',
      {rope_parameters: {full_attention: {rope_type: 'linear', factor: 8}}},
      'rope_parameters.full_attention.rope_type "linear"',
    ],
    [
      'gemma3',
      {rope_parameters: {sliding_attention: llama3Rope}},
      `rope_parameters.sliding_attention ${JSON.stringify(llama3Rope)}`,
    ],
    ['llama2', {attention_dropout: 0.1}, 'attention_dropout 0.1'],
    ['llama2', {partial_rotary_factor: 0.5}, 'partial_rotary_factor 0.5'],
    ['llama2', {quantization_config: {bits: 4}}, 'quantization_config {"bits":4}'],
    ['llama2', {sliding_window: 4096}, 'sliding_window 4096'],
    ['llama2', {rope_parameters: {rope_type: 'yarn'}}, 'rope_parameters.rope_type "yarn"'],
    [
      'llama2',
      {rope_parameters: undefined, rope_scaling: {type: 'linear', factor: 2}},
      'rope_scaling.rope_type "linear"',
    ],
    ['llama2', {rope_parameters: {factor: 2}}, 'rope_parameters.factor 2'],
    [
      'llama2',
      {rope_parameters: {full_attention: {rope_theta: 1}}},
      'rope_parameters.full_attention {"rope_theta":1}',
    ],
    [
      'llama2',
      {rope_parameters: {partial_rotary_factor: 0.5}},
      'rope_parameters.partial_rotary_factor 0.5',
    ],
    [
      'llama2',
      {layer_types: ['full_attention', 'sliding_attention', 'full_attention']},
      'layer_types ["full_attention","sliding_attention","full_attention"]',
    ],
    [
      'mistral',
      {layer_types: Array(3).fill('full_attention')},
      'layer_types ["full_attention","full_attention","full_attention"]',
    ],
    [
      'mistral',
      {layer_types: ['full_attention', 'chunked_attention', 'full_attention']},
      'layer_types ["full_attention","chunked_attention","full_attention"]',
    ],
    [
      'qwen2',
      {layer_types: Array(3).fill('sliding_attention')},
      'layer_types ["sliding_attention","sliding_attention","sliding_attention"]',
    ],
  ];
  for (const [name, keys, what] of unsupported) {
    it(`of ${name} may not say ${JSON.stringify(keys)}`, () => {
      expect(() => read(changed(name, keys))).to.throw(
        `test: ${what} changes what the model computes and is not supported: `,
      );
    });
  }

  const wrong: Array<[Json, string]> = [
    [
      {model_type: 'gpt2'},
      `model_type must be one of ${quoted(architectureNames.map((name) => architectures[name].modelType))}; got 'gpt2'`,
    ],
    [{model_type: undefined}, 'model_type must be one of'],
    [
      {architectures: ['LlamaForSequenceClassification']},
      'architectures must name LlamaForCausalLM, a model with a head for the next token; ' +
        'got ["LlamaForSequenceClassification"]',
    ],
    [{architectures: 'LlamaForCausalLM'}, 'architectures must name LlamaForCausalLM'],
    [{hidden_size: undefined}, 'hidden_size must be an integer >= 1; got undefined'],
    [{vocab_size: '96'}, "vocab_size must be an integer >= 1; got '96'"],
    [{num_hidden_layers: 0}, 'num_hidden_layers must be an integer >= 1 and <= 256; got 0'],
    [{num_attention_heads: 1.5}, 'num_attention_heads must be an integer >= 1; got 1.5'],
    [{num_key_value_heads: 3}, 'createLlama: numKeyValueHeads must divide numAttentionHeads (4)'],
    [{head_dim: 7}, 'createLlama: headDim must be even'],
    [{rms_norm_eps: 0}, 'rms_norm_eps must be a number > 0; got 0'],
    [{initializer_range: -1}, 'initializer_range must be a number >= 0; got -1'],
    [{tie_word_embeddings: 1}, 'tie_word_embeddings must be true or false; got 1'],
    [{rope_parameters: [1]}, 'rope_parameters must be an object; got [1]'],
    [{rope_theta: 7}, 'rope_theta 7 and 10000 of rope_parameters disagree; remove the one'],
    [{rope_parameters: undefined, rope_theta: -1}, 'rope_theta must be a number > 0; got -1'],
    [
      {rope_scaling: {rope_type: 'llama3', factor: 2, low_freq_factor: 1, high_freq_factor: 4}},
      'rope_parameters {"rope_theta":10000,"rope_type":"default"} and rope_scaling {',
    ],
    [
      {rope_parameters: {rope_type: 'llama3', low_freq_factor: 1, high_freq_factor: 4}},
      'rope_parameters.factor must be a number >= 1; got undefined',
    ],
    [{layer_types: ['full_attention']}, 'layer_types must have an entry for each of 3 layers; got'],
    [{layer_types: 'full_attention'}, 'layer_types must have an entry for each of 3 layers; got'],
  ];
  for (const [keys, message] of wrong) {
    it(`may not say ${JSON.stringify(keys)}`, () => {
      expect(() => read(changed('llama2', keys))).to.throw(`test: ${message}`);
    });
  }

  it('of gemma3 may not have two rotary embeddings that disagree, or a window in no place', () => {
    const wrong: Array<[Json, string]> = [
      [{rope_local_base_freq: 7}, 'rope_local_base_freq 7 and 10000 of rope_parameters disagree'],
      [{rope_theta: 7}, 'rope_theta 7 and 1000000 of rope_parameters disagree'],
      [{rope_scaling: llama3Rope}, 'rope_parameters.full_attention {"rope_theta":1000000,'],
      [{rope_parameters: 3}, 'rope_parameters must be an object; got 3'],
      [{query_pre_attn_scalar: 0}, 'query_pre_attn_scalar must be a number > 0; got 0'],
      [{sliding_window_pattern: 0}, 'sliding_window_pattern must be an integer >= 1; got 0'],
      [
        {sliding_window: null},
        "createLlama: layerTypes may have 'sliding_attention' with a slidingWindow only; got null",
      ],
    ];
    for (const [keys, message] of wrong) {
      expect(() => read(changed('gemma3', keys)), JSON.stringify(keys)).to.throw(
        `test: ${message}`,
      );
    }
  });

  it('may not give a window that is no number of tokens', () => {
    expect(() => read(changed('mistral', {sliding_window: 0}))).to.throw(
      'test: sliding_window must be an integer >= 1; got 0',
    );
    expect(() => read(changed('qwen2', {use_sliding_window: 1}))).to.throw(
      'test: use_sliding_window must be true or false; got 1',
    );
  });
});
