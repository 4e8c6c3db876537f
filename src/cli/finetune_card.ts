/** What the card of a fine-tuned model says. */
import type {DatasetReport, ModelCard} from '../llama/index';
import {fileNameOf} from '../llama/text/data_file';
import {fieldsText} from '../llama/text/formats';
import {paperMethods, type MethodParts} from '../methods';
import {configOf, type FinetuneSettings} from './finetune_options';
import type {TrainingMonitor} from './training_monitor';
import {counted} from './words';

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
  const {data, validation, scores, ...others} = configOf(settings) as Record<string, string>;
  const {model: _, output: __, method: ___, fields: ____, ...named} = others;
  const {adapter, chatTemplate, ...shown} = named;
  const {fields} = settings;
  const [before, after] = [monitor.heldOut[0]!.loss, monitor.kept.loss];
  return {
    method: title,
    tags: [settings.method],
    data: [
      `${fileNameOf(data!)}: ${counted(report.used, 'example')}`,
      ...(validation === undefined ? [] : [`${fileNameOf(validation)}, held out`]),
    ],
    settings: {
      ...shown,
      ...(fields && {fields: fieldsText(fields)}),
      ...(chatTemplate !== undefined && {chatTemplate: fileNameOf(chatTemplate)}),
      ...(scores !== undefined && {scores: fileNameOf(scores)}),
      ...(adapter !== undefined && {adapter: fileNameOf(adapter)}),
    },
    figures: {
      'held-out loss before': before.toFixed(4),
      'held-out loss after': after.toFixed(4),
      steps: monitor.kept.step,
    },
  };
}
