import { look } from './looks';

look('ru');
