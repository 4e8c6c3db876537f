import {generateDefaults} from '../llama/generation/generate_options';
import type {SamplingOptions} from '../llama/generation/token_probabilities';
import {writerOptions} from './model_options';
import {file, flag, group, number, outputFile, text, type SettingsOf} from './options';
import {overwrite} from './output_file';
import {samplingOptions} from './sampling_options';

/** The options of `tfjs-owlore generate`. */
export const generateOptions = {
  ...writerOptions,
  ...group('Text', {
    prompt: text(
      'the text to continue; without it, --prompt-file and --prompts, the text is read from stdin',
      '<text>',
    ),
    promptFile: file('a file with the text to continue'),
    prompts: file(
      'a jsonl file with many texts: {"prompt": "…"}, or {"messages": […]} for the chat template',
    ),
    batch: number('texts of --prompts that are written at a time', {
      integer: true,
      min: 1,
      default: generateDefaults.batchSize,
    }),
    output: outputFile('where the texts of --prompts are written, as jsonl; default: stdout'),
    overwrite,
    chat: flag("treat a text as a message, and put it into the model's chat template"),
    maxNewTokens: number(
      `most new tokens (default: ${generateDefaults.maxNewTokens}, or as many as the model can take)`,
      {integer: true, min: 1},
    ),
    ...samplingOptions,
  }),
};

export type GenerateSettings = SettingsOf<typeof generateOptions>;

/** The same with how tokens are chosen, which the model's own files may say. */
export interface WriteSettings extends GenerateSettings {
  sampling: SamplingOptions;
}
