/** The options of all commands that read examples as `textDataset` does, and of those that score blocks by them. */
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {EXAMPLE_FORMATS} from '../llama/text/formats';
import {outlierDefaults} from '../scores/outlier';
import {choice, flag, group, number, numberOr} from './options';

const {format, maxLength, batchSize} = textDatasetDefaults;

export const dataOptions = group('Data', {
  format: choice('what kind of examples the file holds', EXAMPLE_FORMATS, format),
  maxLength: number(
    `the most tokens in a row (default: ${maxLength}, or fewer if the model takes fewer)`,
    {
      integer: true,
      min: 1,
    },
  ),
  batchSize: number('rows that go through the model together', {
    integer: true,
    min: 1,
    default: batchSize,
  }),
  packing: flag('put several examples into a row, one after another'),
});

/** Of outlier scores. */
export const tau = numberOr('auto', 'an outlier is a value above tau times the mean of its block', {
  exclusiveMin: 0,
  default: outlierDefaults.tau,
});
