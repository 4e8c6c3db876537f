import {generativePrograms} from './generative';
import {imagePrograms} from './images';
import {reinforcementPrograms} from './reinforcement';
import {sequencePrograms} from './sequences';
import {tabularPrograms} from './tabular';
import type {Program} from './program';

/** All programs. */
export const programs: readonly Program[] = [
  ...tabularPrograms,
  ...imagePrograms,
  ...sequencePrograms,
  ...generativePrograms,
  ...reinforcementPrograms,
];
