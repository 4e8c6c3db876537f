/** What the card of a fine-tuned model says. */
import type {DatasetReport, ModelCard} from '../llama/index';
import {fileNameOf} from '../llama/text/data_file';
import {paperMethods, type MethodParts} from '../methods';
import {configOf, type FinetuneSettings} from './finetune_options';
import {modelName} from './finetune_outcome';
import type {TrainingMonitor} from './training_monitor';
import {counted} from './words';

/** Settings that say what was trained and how much; all others are about this run on this machine. */
const told: ReadonlyArray<keyof FinetuneSettings> = [
  ...(['adapter', 'chatTemplate', 'gamma', 'interval', 'sampler', 'scores', 'embedding'] as const),
  ...(['rank', 'refreshInterval', 'update', 'loraAlpha', 'loraDropout', 'targets'] as const),
  ...(['learningRate', 'embeddingRate', 'schedule', 'warmup', 'weightDecay', 'clipNorm'] as const),
  ...(['epochs', 'batchSize', 'accumulate', 'maxLength', 'packing', 'seed'] as const),
];

/** Those of them that are files, of which the name is told. */
const files: ReadonlyArray<keyof FinetuneSettings> = ['adapter', 'chatTemplate', 'scores'];

/**
 * The card of a run's model. Of its files only the names are told, not where they were, and nothing that differs between two runs with
 * the same options.
 *
 * @param settings The options in effect.
 * @param report On the examples that were trained on.
 */
export function cardOf(
  settings: FinetuneSettings,
  monitor: TrainingMonitor,
  report: DatasetReport,
): ModelCard {
  const {title}: MethodParts = paperMethods[settings.method];
  const config = configOf(settings) as Record<string, string>;
  const {data, validation, model} = config;
  const shown = told.flatMap((name) => {
    const value = config[name];
    return value === undefined ? [] : [[name, files.includes(name) ? fileNameOf(value) : value]];
  });
  const [before, after] = [monitor.heldOut[0]!.loss, monitor.kept.loss];
  return {
    title: `${modelName(model!)}, fine-tuned on ${fileNameOf(data!)}`,
    method: title,
    tags: [settings.method],
    data: [
      `${fileNameOf(data!)}: ${counted(report.used, 'example')}`,
      ...(validation === undefined ? [] : [`${fileNameOf(validation)}, held out`]),
    ],
    settings: Object.fromEntries(shown) as Record<string, string>,
    figures: {
      'held-out loss before': before.toFixed(4),
      'held-out loss after': after.toFixed(4),
      steps: monitor.kept.step,
    },
  };
}
