/** The part of npm `gpt-tfjs`, which has no types, that the tests use. */
declare module 'gpt-tfjs/src/model.js' {
  import type {LayersModel} from '@tensorflow/tfjs-layers';

  export function GPTLMHeadModel(config: Record<string, unknown>): {model: LayersModel};
}
