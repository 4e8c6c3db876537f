/** `tfjs-owlore merge`: a model with an adapter in it, for programs that take no adapters. */
import {readdirSync} from 'node:fs';
import {resolve} from 'node:path';
import {floatTypes, type FloatType} from '../files/float_type';
import {isPassingName} from '../files/folder_commit';
import {saveLlama} from '../llama/index';
import {fileNameOf} from '../llama/text/data_file';
import {defineCommand} from './command';
import {errorIn} from './full_disk';
import {describeModel, loadModelAlone, locate, modelOptions} from './model_options';
import {
  choice,
  group,
  isHubName,
  isThere,
  onlyOnCommandLine,
  outputFolder,
  required,
} from './options';
import {checkInputsOutside} from './run_inputs';
import {UsageError} from './usage_error';

const {model, adapter, backend} = modelOptions;

const options = {
  ...{model, adapter, backend},
  ...group('Result', {
    output: required(
      onlyOnCommandLine(outputFolder('the folder that is made, with the model in it')),
    ),
    dtype: choice<FloatType, 'F32'>('number type of the weights that are saved', floatTypes, 'F32'),
  }),
};

export const merge = defineCommand({
  name: 'merge',
  summary: 'Puts an adapter into its model, and writes a model that needs none.',
  examples: [
    [
      'the adapter of a run',
      'merge --model HuggingFaceTB/SmolLM2-135M-Instruct --adapter run/adapter --output merged',
    ],
    ['with the model that the adapter names', 'merge --model adapter --output merged'],
  ],
  options,
  async run({output, dtype, ...settings}, context) {
    const {given, console} = context;
    const located = await locate(settings, context);
    if (!located.adapter)
      throw new UsageError(`merge: --adapter is missing: ${options.adapter.help}`);
    const inputs = {model: settings.model, adapter: settings.adapter};
    for (const [name, place] of Object.entries(inputs))
      if (place !== undefined && !isHubName(place))
        checkInputsOutside(given, output, {[name]: place});
    if (isThere('folder', output) && readdirSync(output).some((name) => !isPassingName(name)))
      throw new UsageError(
        `${given.get('output')!}: the folder '${output}' is not empty; name another one`,
      );
    // before weights are downloaded
    await describeModel(located, context);
    const {model, hubName} = await loadModelAlone(settings, located, context);
    try {
      const own = located.adapter.source;
      const base = hubName ?? fileNameOf(resolve(located.source));
      const put = isHubName(own) ? own : fileNameOf(resolve(own));
      const card = {
        title: `${fileNameOf(base)} with the adapter ${fileNameOf(put)}`,
        description: `${base} with the LoRA adapter ${put} in its weights, put there by tfjs-owlore.`,
        tags: ['lora'],
      };
      await saveLlama(model, output, {dtype, card}).catch((error: unknown) => {
        throw errorIn(output, error);
      });
    } finally {
      model.dispose();
    }
    console.note(`the model is in ${output}`);
    return {output, model: located.source, adapter: located.adapter.source, dtype};
  },
});
